"""What a plan of PostgreSQL read and what became of it: the rows that its scans looked at, and those that were of use.

A row is *read* when a scan of a table looks at it: the rows that the scan gives on, those that its filter removes and
those that a recheck removes, all its loops together. Entries of an index that lead to no live row are none, nor are
the entries of a bitmap before its rows are looked at.

A row is *returned* when it goes into the answer, be it as a line, as part of one or as an element of the JSON that is
put together there. So every scan of a plan is asked how many of the rows that it gave on are still there further up:
a limit, a filter above, a sort of which only the beginning is wanted and a join without a partner lose rows; functions
that collect their input (json_agg and its like) lose none, and what is written is all of use. What is counted or summed
is of use up to `FEW` rows: the product counts by itself what its search has found, which is bounded by that; a count
of everything is not, and grows with the account.

An answer without any row counts as one row.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any, TypeAlias

from msgspec import Struct

from customary.storage.customer_pages import FEW

Node: TypeAlias = dict[str, Any]  # as EXPLAIN writes it

_COLLECTS = re.compile(r"\b(json|jsonb|array|string)_agg\(")
_OWN = re.compile(r"\b(find_api_key|customers_with_text|customers_with_properties)\(")
_REMOVED = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
_SPREADING = frozenset({"Append", "Merge Append"})
_COUNTING = frozenset({"Aggregate", "Group", "Unique", "SetOp"})
_KEEPING = frozenset({"ModifyTable", "Recursive Union"})
_SHORT = {"Sort": "sort", "Incremental Sort": "sort", "Hash Join": "hash join", "ProjectSet": "function"}
_CALLING = frozenset({"ProjectSet", "Function Scan"})


class Rows(Struct):
    """How many rows of tables were read, and how many of them were returned."""

    read: float = 0
    returned: float = 0


def nodes(plan: Node) -> Iterator[Node]:
    """This node of a plan and all below it that were carried out at all."""
    if plan["Actual Loops"]:
        yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def rows_of(plan: Node, small: Collection[str] = ()) -> Rows:
    """What all scans of this plan read, and what of it was returned; except of `small` tables that are read whole."""
    found = Rows()
    _add(found, plan, _total(plan), small)
    return found


def called(plan: Node) -> float | None:
    """How many rows came out of the product's functions, whose inside no plan shows; None where it calls none."""
    calls = [node for node in nodes(plan) if node["Node Type"] in _CALLING]
    counts = [_total(node) for node in calls if _OWN.search(" ".join([*node["Output"], node.get("Function Call", "")]))]
    return sum(counts) if counts else None


def scanned_whole(plan: Node) -> set[str]:
    """The tables that were read from one end to the other."""
    return {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}


def summary(plan: Node) -> str:
    """How the tables are found, and what has to be sorted: each once, in the order of the plan."""
    told = dict.fromkeys(filter(None, map(_told, nodes(plan))))
    return ", ".join(told) or plan["Node Type"]


def _told(node: Node) -> str:
    kind = node["Node Type"]
    if kind in {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}:
        return node["Index Name"]
    if kind == "Seq Scan":
        return f"all of {node['Relation Name']}"
    if kind == "Function Scan":
        return f"{node['Function Name']}()" if "Function Name" in node else ""
    return {"Sort": "sort", "Incremental Sort": "sort", "Hash Join": "hash join", "ProjectSet": "function"}.get(
        kind, ""
    )


def _total(node: Node) -> float:
    return node["Actual Rows"] * node["Actual Loops"]


def _add(found: Rows, node: Node, wanted: float, small: Collection[str]) -> None:
    """Add what this part of a plan read; of what it gives on, so many rows are of use further up."""
    used = min(wanted, _total(node))
    is_small = node["Node Type"] == "Seq Scan" and node["Relation Name"] in small
    if "Relation Name" in node and "Scan" in node["Node Type"] and not is_small:
        removed = sum(node.get(name, 0) for name in _REMOVED) * node["Actual Loops"]
        found.read += _total(node) + removed
        found.returned += used
    for below in node.get("Plans", ()):
        if below["Actual Loops"]:
            _add(found, below, _wanted(node, below, used), small)


def _wanted(node: Node, below: Node, used: float) -> float:
    """How many rows of the part below are of use, where so many of this node's are."""
    kind, given, own = node["Node Type"], _total(below), _total(node)
    if below.get("Parent Relationship") in {"InitPlan", "SubPlan"} or kind in _SPREADING or _collects(node):
        return given * used / own if own else given
    if kind in _KEEPING:
        return given
    if kind in _COUNTING:
        return max(used, FEW)
    return used


def _collects(node: Node) -> bool:
    return node["Node Type"] == "Aggregate" and any(_COLLECTS.search(text) for text in node.get("Output", ()))
