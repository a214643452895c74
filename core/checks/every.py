"""What every algorithm keeps: its papers, its parameters, and answers that change nothing."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from core.artifact import pack
from core.checks.subject import (
    Check,
    Subject,
    answer,
    fitted,
    learn,
    make,
    numbers,
    question,
    refusal,
    require,
    same,
)
from core.contracts import Params
from core.errors import InvalidInputError
from core.samples import sample


def check_documented(subject: Subject) -> None:
    """The docstring opens with one sentence, says good and bad for, and the source is named."""
    text = inspect.cleandoc(subject.__doc__ or "")
    require(re.match(r"[A-Z].+\.\n\n", text), subject, "docstring must open with one sentence")
    require("ood" in text and "ad for" in text, subject, "docstring must say good and bad for")
    require(len(subject.source) > 10, subject, "source must name paper and section")
    require(
        re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", subject.name), subject, "name must be kebab-case"
    )


def check_params_described(subject: Subject) -> None:
    """Every parameter has a help text, and bounds or choices where it is a number."""
    for spec in dataclasses.fields(subject.Params):
        rules = spec.metadata
        require(rules.get("help"), subject, f"{spec.name} must have a help text")
        number = isinstance(spec.default, int | float) and not isinstance(spec.default, bool)
        bounded = rules["choices"] or (rules["low"] is not None and rules["high"] is not None)
        require(bounded or not number, subject, f"{spec.name} must be bounded")


def check_params_refuse(subject: Subject) -> None:
    """A parameter out of its bounds or choices is refused when the parameters are made."""
    for spec in dataclasses.fields(subject.Params):
        rules = spec.metadata
        if rules["choices"] or rules["low"] is not None:
            wrong = "no such choice" if rules["choices"] else rules["low"] - 1
            refusal(
                subject, InvalidInputError, functools.partial(subject.Params.of, {spec.name: wrong})
            )


def check_made_by_default(subject: Subject) -> None:
    """It can be made without arguments, knows its seed, and has learned nothing yet."""
    algorithm = subject()
    require(isinstance(algorithm.params, Params), subject, "default params must be Params")
    require(algorithm.fitted is not subject.tags.trained, subject, "making must not learn")


def check_pure(subject: Subject) -> None:
    """Asking twice gives the same, and neither what was asked nor the state has changed."""
    algorithm, asked, untouched = fitted(subject), question(subject), question(subject)
    before = pack(algorithm.state)
    first = answer(algorithm, asked)
    require(same(subject, first, answer(algorithm, asked)), subject, "asking must not learn")
    require(pack(algorithm.state) == before, subject, "asking must leave the state unchanged")
    same_question = np.array_equal(numbers(asked), numbers(untouched), equal_nan=True)
    require(same_question, subject, "asking must leave the question unchanged")


def check_threads(subject: Subject) -> None:
    """Four threads that ask one instance different things each get what one alone gets."""
    algorithm = fitted(subject)
    asked = [question(subject, number) for number in range(4)]
    alone = [answer(algorithm, one) for one in asked]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: answer(algorithm, one), asked))
    require(
        all(map(functools.partial(same, subject), alone, together)), subject, "threads must agree"
    )


def check_same_seed(subject: Subject) -> None:
    """The same seed on the same data gives the same answer."""
    first = fitted(subject)
    second = learn(make(subject), sample()) if subject.tags.trained else make(subject)
    asked = question(subject)
    require(same(subject, answer(first, asked), answer(second, asked)), subject, "seed must decide")


EVERY: tuple[Check, ...] = (
    check_documented,
    check_params_described,
    check_params_refuse,
    check_made_by_default,
    check_pure,
    check_threads,
    check_same_seed,
)
