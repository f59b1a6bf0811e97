"""Parts of `benchmarks.segmentation_peers`: the hand-over, the budget, and one module a peer.

`epochs`, `job`, `smp` and `nnunet` run in the peers' interpreter too, which has neither TensorFlow
nor the packages that `stroke_tf` needs: of `stroke_tf` they may import `files` alone.
"""
