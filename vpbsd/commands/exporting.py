"""Export a trained student as ONNX, for programs that have no torch.

vpbsd export MODEL student.onnx
"""

from __future__ import annotations

from pathlib import Path

from vpbsd.cli import command_parser, invocation


def main() -> None:
    """Exports one model."""
    parser = command_parser("export", __doc__)
    wrote = f"folder that `{invocation('final')}` wrote"
    parser.add_argument("model", type=Path, metavar="MODEL", help=wrote.replace("%", "%%"))
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write: .onnx")
    args = parser.parse_args()
    from vpbsd.inference.onnx import export_onnx  # torch takes seconds, and --help needs none

    export_onnx(args.model, args.out)
