"""The reviewer: a model, a command, or a table of features, which answers what is not worth a person's time."""
