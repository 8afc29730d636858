"""Does FP8 (E4M3) move fewer bytes than FP16 in what NVIDIA's compiler makes of the network?

A study of compiled plans; no part of the product is FP8.
"""
