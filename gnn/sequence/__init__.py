"""Models of what a user does next: `fit` trains one on histories in order and returns a `SequenceModel`.

settings                    hyper-parameters, without torch
histories                   what people liked, in order, and when
preparation, padding        histories into examples, and these into blocks of equal length
item_data, items            what is known of the items, and their vectors: id, text, knowledge, or any sum of them
times                       vectors of when an item came
backbone                    from vectors of items in order to a state at each place, and the registry of models
sasrec, bert4rec            Transformers, a file each, on what both have (transformer)
gru4rec, narm               recurrent networks, a file each
negatives, losses           what a target is compared with, and how
data, task, fit             what a training reads, what the trainer trains, and a training
model, warm_start           the result, for serving, and as the start of a later training
"""
