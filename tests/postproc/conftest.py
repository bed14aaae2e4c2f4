import pytest
import torch

PAIRS = [(k, k + 1) for k in range(1, 16, 2)]  # 17 keypoints of which the first has no twin, as COCO's


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def pairs() -> list[tuple[int, int]]:
    return PAIRS


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(20)
