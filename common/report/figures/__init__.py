"""The paper's figures and what goes beyond them: a study in, an exhibit out, one file a subject."""
