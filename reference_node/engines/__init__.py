"""Engines of others as components: commands that know the environment contract and nothing of the node (5.3-c, 6.1-c).

told         what a component process is told by its variables, and how it tells of its end
spu_link     SecretFlow's link through the node's data plane, in the black box form of 6.2-c
spu_psi      component `spu-psi`: private set intersection by SecretFlow's psi
spu_product  component `spu-product`: products of two secret columns by SecretFlow's spu
"""
