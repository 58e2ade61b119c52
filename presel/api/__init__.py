"""What `import presel` offers: the method on arrays, the score of a model, and a published dataset, without a store or a run.

    picks = presel.select(embeddings, tasks, share=0.15, irs={"chart": 0.22, "ocr": 0.98})
    plan  = presel.plan(tasks, share=0.15, irs=scores)
    irs   = presel.irs(model, processor, samples)
    data  = presel.open_dataset("s3://bucket/presel", "demo")

The rules are those of `presel.selection`, which the stages call as well. Here is only what stands between them and a person:
arguments as researchers pass them, warnings where a stage would write a reject, tables as pandas has them.
"""
