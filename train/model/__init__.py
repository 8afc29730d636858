"""Dual-HRNet: two HRNet streams that exchange what they see, and two heads."""

from train.model.config import ModelConfig
from train.model.dual_hrnet import DualHRNet, build_network

__all__ = ["DualHRNet", "ModelConfig", "build_network"]
