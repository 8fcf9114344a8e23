"""The budget of a run and all that it delegates: reserved before a call, settled after it, never exceeded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ..agents.plan import Budget
from ..core.errors import BudgetExceeded
from ..core.usage import Usage

Amounts = dict[str, float]

WORDS = {"tokens": "tokens", "cost": "US dollars", "calls": "calls"}


class Account:
    """What may be spent, what was, and what is promised to calls under way.

    An account may be a portion of another: what is spent from it is spent from both. Seconds are not its matter: the
    run has a deadline.
    """

    def __init__(self, limits: Mapping[str, float | None], spent: Usage | None = None, whole: Account | None = None):
        self._limits = {name: limit for name, limit in limits.items() if limit is not None}
        self.usage = spent or Usage()
        """What was spent, in full."""
        self._spent = _amounts(self.usage)
        self._reserved: Amounts = dict.fromkeys(WORDS, 0.0)
        self._under_way = 0
        self._whole = whole
        self._waiting: set[asyncio.Future[None]] = whole._waiting if whole else set()

    @classmethod
    def of(cls, budget: Budget, spent: Usage) -> Account:
        """The account of a run that has `spent` before."""
        return cls({"tokens": budget.tokens, "cost": budget.cost, "calls": budget.calls}, spent)

    def portion(self, share: float) -> Account:
        """An account with this share of what is left of this one."""
        return Account({name: self.left(name) * share for name in self._all_limits()}, whole=self)

    def left(self, name: str) -> float:
        """How much of `tokens`, `cost` or `calls` is neither spent nor promised; infinite without a limit."""
        return min(a._limits.get(name, float("inf")) - a._spent[name] - a._reserved[name] for a in self._chain())

    def unspent(self, name: str) -> float:
        """How much of it there would be if calls under way gave back all that was set aside for them."""
        return min(a._limits.get(name, float("inf")) - a._spent[name] for a in self._chain())

    async def reserve(self, most: Callable[[], Usage]) -> Usage:
        """Sets aside the most that a call may use, and gives it.

        Waits while it does not fit only for what other calls have set aside, and asks anew then what it may use. Raises
        `BudgetExceeded` where it will not fit whatever they give back.
        """
        while (short := self._short(wanted := _amounts(given := most()))) is not None:
            account, name = short
            if account._spent[name] + wanted[name] > account._limits[name] or not account._reserved[name]:
                raise BudgetExceeded(
                    f"the budget is spent: {_number(account._spent[name])} of {_number(account._limits[name])} "
                    f"{WORDS[name]} used, and the next call may need {_number(wanted[name])}",
                    hint="`bottega runs resume` with a larger --budget goes on from here",
                )
            released = asyncio.get_running_loop().create_future()
            self._waiting.add(released)
            try:
                await released
            finally:
                self._waiting.discard(released)
        for account in self._chain():
            _add(account._reserved, wanted, 1)
            account._under_way += 1
        return given

    def settle(self, most: Usage, used: Usage) -> None:
        """Gives back what was set aside, and takes what was used."""
        for account in self._chain():
            _add(account._reserved, _amounts(most), -1)
            account._under_way -= 1
            if not account._under_way:  # else what floats leave over would be waited for
                account._reserved = dict.fromkeys(WORDS, 0.0)
            _add(account._spent, _amounts(used), 1)
            account.usage += used
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def _chain(self) -> list[Account]:
        return [self, *(self._whole._chain() if self._whole else ())]

    def _all_limits(self) -> set[str]:
        return set(self._limits) | (self._whole._all_limits() if self._whole else set())

    def _short(self, wanted: Amounts) -> tuple[Account, str] | None:
        """The account and the amount that keep the call from being made now."""
        for account in self._chain():
            for name, limit in account._limits.items():
                if wanted[name] and account._spent[name] + account._reserved[name] + wanted[name] > limit:
                    return account, name
        return None


def _amounts(usage: Usage) -> Amounts:
    return {
        "tokens": usage.input_tokens + usage.output_tokens,
        "cost": usage.cost,
        "calls": usage.model_calls + usage.tool_calls,
    }


def _add(to: Amounts, amounts: Amounts, sign: int) -> None:
    for name, amount in amounts.items():
        to[name] += sign * amount


def _number(amount: float) -> str:
    return f"{amount:,.0f}" if amount == int(amount) else f"{amount:,.4g}"
