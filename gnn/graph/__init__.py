"""Models on the graph, LightGCN and GCN: `fit` trains one and returns `Embeddings`.

fit, job, tasks             a training, its arguments, and what the trainer trains
lightgcn, gcn, encoder      the two models, and what both have
layer0, propagation         embeddings that enter the first layer, and the hop over the graph
objective, validator        the loss of a step, and the measure that early stopping uses
embeddings                  the result, for serving
cold_start, ridge           vectors of items that nobody has touched
fold_in                     vectors of users and items that training did not have
shares                      exact parts of a score
warm_start, forgetting      a later training from these weights, and vectors without some nodes
hetero                      the graph for models of PyTorch Geometric
"""
