"""A model of any number of operators, written as IR: tracing one would take minutes."""

from pathlib import Path

_BLOCK = """
fqat.module @b{i} class "__torch__.Block" slots ["conv", "act"]
fqat.module @b{i}.conv class "__torch__.torch.nn.modules.conv.Conv2d" slots []
fqat.module @b{i}.act class "__torch__.torch.nn.modules.activation.SiLU" slots []
fqat.method @b{i}.forward(%x: !fqat.tensor) -> !fqat.tensor attributes {{instance = @b{i}}} {{
  %0 = fqat.call @b{i}.conv.forward(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.call @b{i}.act.forward(%0) : (!fqat.tensor) -> !fqat.tensor
  %2 = fqat.op "aten::add"(%x, %1) : (!fqat.tensor, !fqat.tensor) -> !fqat.tensor
  fqat.return %2 : !fqat.tensor
}}
fqat.method @b{i}.conv.forward(%x: !fqat.tensor) -> !fqat.tensor
    attributes {{instance = @b{i}.conv}} {{
  %0 = fqat.op "aten::conv2d"(%x) : (!fqat.tensor) -> !fqat.tensor
  %1 = fqat.op "aten::batch_norm"(%0) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %1 : !fqat.tensor
}}
fqat.method @b{i}.act.forward(%x: !fqat.tensor) -> !fqat.tensor
    attributes {{instance = @b{i}.act}} {{
  %0 = fqat.op "aten::silu"(%x) : (!fqat.tensor) -> !fqat.tensor
  fqat.return %0 : !fqat.tensor
}}
"""


def write(path: Path, blocks: int) -> None:
    """Writes a model of `blocks` residual blocks, 4 operators each, and a sigmoid."""
    names = ", ".join(f'"b{i}"' for i in range(blocks))
    text = [f'fqat.module @"$" class "__torch__.Big" slots [{names}]']
    text += [_BLOCK.format(i=i) for i in range(blocks)]
    text.append(
        'fqat.method @forward(%x0: !fqat.tensor) -> !fqat.tensor attributes {instance = @"$"} {'
    )
    text += [
        f"  %x{i + 1} = fqat.call @b{i}.forward(%x{i}) : (!fqat.tensor) -> !fqat.tensor"
        for i in range(blocks)
    ]
    text.append(f'  %s = fqat.op "aten::sigmoid"(%x{blocks}) : (!fqat.tensor) -> !fqat.tensor')
    text.append("  fqat.return %s : !fqat.tensor\n}\n")
    path.write_text("\n".join(text))
