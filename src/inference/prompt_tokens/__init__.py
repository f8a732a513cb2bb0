"""Token ids of prompts and answers, the same in training, labelling, evaluation and serving."""
