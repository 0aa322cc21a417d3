"""Tables with images in them: Hugging Face datasets on disk, Arrow files, Parquet files; read by pyarrow.

In: a path. Out: a `Listing` whose samples are rows. It maps Arrow files into memory and reads them row by row; it reads
a Parquet file through for each shard, since its rows are packed together.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamaug.making.files import read_file
from streamaug.making.image_list import choose_columns, list_files, refuse_mixed, whole_numbers
from streamaug.making.listing import Content, Listed, Listing, Source, Unusable, bytes_in_tar
from streamaug.making.options import MakeOptions
from streamaug.storage import StorageOptions


def pyarrow(path: str, part: str = "pyarrow") -> Any:
    """The library, or a part of it.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        return import_module(part)
    except ImportError:
        raise ValueError(f"SOURCE: reading {path} needs pyarrow, got none. pip install 'streamaug[arrow]'.") from None


class ArrowFiles:
    """Arrow IPC files, mapped into memory: streams, as `datasets` writes, or files with a footer."""

    read_through = False

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)

    def __getstate__(self) -> dict[str, Any]:
        return {"paths": self.paths}

    @cached_property
    def _tables(self) -> list[Any]:
        return [self._open(path) for path in self.paths]

    def _open(self, path: str) -> Any:
        arrow, ipc = pyarrow(path), pyarrow(path, "pyarrow.ipc")
        try:
            mapped = arrow.memory_map(path)
            try:
                return ipc.open_stream(mapped).read_all()
            except arrow.ArrowInvalid:
                return ipc.open_file(arrow.memory_map(path)).read_all()
        except (OSError, arrow.ArrowException) as error:
            raise ValueError(f"SOURCE: {path} must be an Arrow file, got: {error}. Write it again.") from None

    def schema(self, number: int) -> Any:
        """The schema of one file."""
        return self._tables[number].schema

    def column(self, number: int, name: str) -> list[Any]:
        """A column of one file, as its chunks."""
        return list(self._tables[number].column(name).chunks)

    def rows(self, name: str, refs: Sequence[tuple[int, int]]) -> Iterator[Any]:
        """The values of a column in these (file, row)s."""
        opened: dict[int, tuple[list[Any], npt.NDArray[np.int64]]] = {}
        for number, row in refs:
            if number not in opened:
                chunks = self.column(number, name)
                opened[number] = (chunks, np.cumsum([0, *map(len, chunks)]))
            chunks, starts = opened[number]
            chunk = int(np.searchsorted(starts, row, "right")) - 1
            yield chunks[chunk][row - int(starts[chunk])].as_py()


class ParquetFiles:
    """Parquet files, read by their row groups."""

    read_through = True

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)

    def _open(self, number: int) -> Any:
        path = self.paths[number]
        arrow, parquet = pyarrow(path), pyarrow(path, "pyarrow.parquet")
        try:
            return parquet.ParquetFile(path)
        except (OSError, arrow.ArrowException) as error:
            raise ValueError(f"SOURCE: {path} must be a Parquet file, got: {error}. Write it again.") from None

    def schema(self, number: int) -> Any:
        """The schema of one file."""
        return self._open(number).schema_arrow

    def column(self, number: int, name: str) -> Iterator[Any]:
        """A column of one file, chunk by chunk."""
        for batch in self._open(number).iter_batches(batch_size=256, columns=[name]):
            yield batch.column(0)

    def rows(self, name: str, refs: Sequence[tuple[int, int]]) -> Iterator[Any]:
        """The values of a column in these (file, row)s, all held in memory."""
        wanted: dict[int, dict[int, list[int]]] = {}
        for at, (number, row) in enumerate(refs):
            wanted.setdefault(number, {}).setdefault(row, []).append(at)
        values: list[Any] = [None] * len(refs)
        for number, rows in wanted.items():
            file, start = self._open(number), 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                inside = [row for row in rows if start <= row < stop]
                if inside:
                    column = file.read_row_group(group, columns=[name]).column(0)
                    for row in inside:
                        for at in rows[row]:
                            values[at] = column[row - start].as_py()
                start = stop
        yield from values


class TableSource(Source):
    """Rows of tables with a column of images: bytes, paths, or both as in `datasets`."""

    def __init__(self, files: ArrowFiles | ParquetFiles, column: str) -> None:
        self._files = files
        self._column = column

    def describe(self, ref: tuple[int, int]) -> str:
        """The file and the row, from 0."""
        return f"{self._files.paths[ref[0]]}, row {ref[1]}"

    def read(self, refs: Sequence[tuple[int, int]]) -> Iterator[Content | Unusable]:
        """The images of these rows."""
        for (number, _), value in zip(refs, self._files.rows(self._column, refs), strict=True):
            data = value.get("bytes") if isinstance(value, dict) else value
            if data is None and isinstance(value, dict) and value.get("path"):
                yield read_file(str(Path(self._files.paths[number]).parent / value["path"]))
            elif isinstance(data, bytes):
                yield Content(data)
            else:
                yield Unusable("the row has no image")


def list_dataset(folder: str, options: MakeOptions) -> Listing:
    """List a dataset that `datasets.Dataset.save_to_disk` wrote.

    Raises:
        ValueError: If the file is not an Arrow file.
    """
    try:
        state = json.loads(Path(folder, "state.json").read_text("utf-8"))
        paths = [str(Path(folder, item["filename"])) for item in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"SOURCE: {folder} must be a dataset of datasets' save_to_disk, got a state.json that does not say its "
            f"files: {error!r}. Save it again."
        ) from None
    return list_tables(ArrowFiles(paths), options)


def list_tables(files: ArrowFiles | ParquetFiles, options: MakeOptions) -> Listing:
    """List the rows of tables that hold images.

    Raises:
        ValueError: If they have no such column, or labels that are neither numbers nor names.
    """
    schema = files.schema(0)
    image, label = _columns(schema, files.paths[0], options)
    samples: list[Listed] = []
    for number in range(len(files.paths)):
        labels = [None] if label is None else _labels(files, number, label)
        row = 0
        for chunk in files.column(number, image):
            for size in _sizes(chunk):
                text = labels[row] if label is not None else None
                samples.append(Listed(f"{len(samples):09d}", (number, row), bytes_in_tar(int(size)), text))
                row += 1
    return Listing(TableSource(files, image), samples, _class_names(schema, label))


def list_parquet(path: str, storage: StorageOptions, options: MakeOptions) -> Listing:
    """List a Parquet file: the images in it, or the files that it names.

    Raises:
        ValueError: If it has no column of images.
    """
    files = ParquetFiles([path])
    schema = files.schema(0)
    image, label = _columns(schema, path, options)
    if not pyarrow(path, "pyarrow.types").is_string(schema.field(image).type):
        return list_tables(files, options)
    names = [value for chunk in files.column(0, image) for value in chunk.to_pylist()]
    if not names or None in names:
        raise ValueError(f"SOURCE: each row of {path} must name an image, got none. Complete the column {image!r}.")
    labels, class_names = None if label is None else _labels(files, 0, label), _class_names(schema, label)
    if labels is not None and class_names is None and options.classes is None:
        refuse_mixed(path, labels, lambda number: f"row {number + 1}")
    listing = list_files(path, names, labels, storage)
    listing.class_names = class_names
    return listing


def _columns(schema: Any, path: str, options: MakeOptions) -> tuple[str, str | None]:
    """The columns of images and labels: the given names, the columns that `datasets` marks, or likely names."""
    features = _features(schema)
    image = [name for name, feature in features.items() if feature.get("_type") == "Image"]
    label = [name for name, feature in features.items() if feature.get("_type") == "ClassLabel"]
    chosen = MakeOptions(
        image_column=options.image_column or (image[0] if len(image) == 1 else None),
        label_column=label[0] if options.label_column is None and len(label) == 1 else options.label_column,
    )
    return choose_columns(schema.names, path, chosen)


def _features(schema: Any) -> dict[str, Any]:
    """The features of the columns by `datasets`; empty where it wrote none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return {name: feature for name, feature in features.items() if isinstance(feature, dict)}


def _class_names(schema: Any, label: str | None) -> list[str] | None:
    names = _features(schema).get(label or "", {}).get("names")
    return None if names is None else [str(name) for name in names]


def _labels(files: ArrowFiles | ParquetFiles, number: int, column: str) -> list[Any]:
    labels = [value for chunk in files.column(number, column) for value in chunk.to_pylist()]
    return labels if all(isinstance(label, str) for label in labels) else whole_numbers(labels)


def _sizes(chunk: Any) -> Any:
    """Bytes of each row's image, as far as the table holds them."""
    arrow, compute = import_module("pyarrow"), import_module("pyarrow.compute")
    if arrow.types.is_struct(chunk.type):
        chunk = chunk.field("bytes")
    return compute.fill_null(compute.binary_length(chunk), 0).to_numpy(zero_copy_only=False)
