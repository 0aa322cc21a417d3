"""The end of `--help`: more about the command, examples that can be typed as they are, the exit status.

In: sentences and command lines. Out: the text of an epilog, which argparse prints unchanged.
"""

import textwrap
from collections.abc import Sequence

_WIDTH = 100
STATUS = "0 for success, 1 for failures, 2 for wrong arguments"


def epilog(examples: Sequence[str], *, about: str = "", status: str = STATUS) -> str:
    """The end of a command's help.

    Args:
        examples: Command lines, with a remark behind " # " perhaps.
        about: Sentences that stand before them.
        status: The meaning of each exit status.
    """
    parts = [textwrap.fill(" ".join(about.split()), _WIDTH)] if about else []
    parts.append("examples:\n" + "\n".join(f"  {line}" for line in examples))
    parts.append(f"exit status: {status}; 130 after Ctrl-C, 141 where nobody reads the output")
    return "\n\n".join(parts)
