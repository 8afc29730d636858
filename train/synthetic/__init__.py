"""A synthetic town, seen twice: xBD-format tiles that cost nothing and may be shared.

One pixel stands for about 0.55 m, as in xBD. The modules follow the light:
`plan` decides what stands where and what happens to it, `ground`, `roofs`,
`wreck` and `props` paint it, `photo` takes the two pictures, `scene` puts them
together and `labels` writes xBD's JSON. Nothing here imports torch.
"""
