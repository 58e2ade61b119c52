"""Drawing the demo's pictures, one module per task: `draw(rng, longest) -> Picture` is all they share.

Every picture is a function of its generator alone, so any picture of any task can be drawn without the others. Inside a task
several kinds of very uneven frequency make natural clusters, with one rare kind that a good selection should not miss.
"""
