"""Labels of stages, keys of all stages of a trial, and which of two trials' differ."""

from vpbsd.pipeline.recipes import trial

PRE, FINE, EVALUATE = "pre-training", "fine-tuning", "evaluate vpbsd"
SAID = ("codes of labelled patches", "codes of unlabelled patches", "pseudo of unlabelled patches")


def keys(s, arm, fold, **seeds):
    """Label -> key of all stages of a trial."""
    return {
        stage.label: stage.key for stage in trial(s, arm, fold, **{"seed": 0} | seeds).lineage()
    }


def changed(one, other):
    assert one.keys() == other.keys()
    return {label for label in one if one[label] != other[label]}
