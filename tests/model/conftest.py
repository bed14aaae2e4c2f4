import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def with_random_statistics(network: nn.Module) -> nn.Module:
    """As if trained: batch normalisation with statistics and scales of its own, outputs of the order of one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                fan = module.weight[0].numel() if isinstance(module, nn.Conv2d) else module.weight[:, 0].numel() / 4
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * (1 / fan) ** 0.5)
            if isinstance(module, nn.BatchNorm2d):
                for tensor, low, high in (
                    (module.running_mean, -0.1, 0.1),
                    (module.running_var, 0.5, 1.0),
                    (module.weight, 0.8, 1.2),
                    (module.bias, -0.1, 0.3),
                ):
                    assert tensor is not None
                    tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    return network
