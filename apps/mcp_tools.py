"""The tools behind the Model Context Protocol: threads, errors, and a person's consent.

The tool that spends asks the client's user first when the most it could hold exceeds a set amount;
a client that cannot ask is refused then. Either way the training passes the gate.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeAlias

from anyio import to_thread
from fastmcp.server.context import Context
from fastmcp.server.dependencies import get_context
from fastmcp.tools.base import InputRequiredToolResult, Tool, ToolResult
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ToolAnnotations,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, Field
from typing_extensions import override

from apps import tools
from apps.tool import Answer, Tool as LowtideTool, not_confirmed, start
from apps.trainings import Spending


class Consent(BaseModel):
    """What a person is asked before money is spent."""

    confirm: bool = Field(title="Start it", description="Whether this training may be started.")


def offered(tool: LowtideTool, *, confirm_above_usd: Decimal) -> Tool:
    """Return a tool as the server offers it.

    Args:
        tool: The tool.
        confirm_above_usd: Above which hold a person is asked, US dollars.
    """
    return _Offered(
        name=tool.name,
        description=tool.description,
        parameters=tool.input_schema(),
        output_schema=tool.output_schema(),
        annotations=ToolAnnotations(
            read_only_hint=not tool.spends,
            destructive_hint=tool.spends,
            idempotent_hint=not tool.spends,
            open_world_hint=tool.spends,
        ),
        confirm_above_usd=confirm_above_usd,
    )


class _Offered(Tool):
    """One of the tools, behind the protocol."""

    confirm_above_usd: Decimal = Field(exclude=True)

    @override
    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        found = await to_thread.run_sync(tools.ask, self.name, arguments)
        if isinstance(found, Spending):
            return await self._spend(found)
        return _result(found)

    async def _spend(self, spending: Spending) -> ToolResult:
        if spending.hold_usd > self.confirm_above_usd:
            agreed = await _agreement(get_context(), spending)
            if isinstance(agreed, ToolResult):
                return agreed
            if agreed != "yes":
                return _result(not_confirmed(spending, why=_WHY[agreed]))
        return _result(await to_thread.run_sync(start, spending))


_Agreed: TypeAlias = Literal["yes", "no", "cannot-ask"]
_WHY: Mapping[str, str] = {
    "no": "the user did not agree",
    "cannot-ask": "this client cannot ask its user; use the command line for it",
}


async def _agreement(context: Context, spending: Spending) -> _Agreed | ToolResult:
    """Ask the client's user, in whichever way the connection's protocol has for it."""
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return "cannot-ask"
    request = context.request_context
    if request is None or request.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        answer = await context.elicit(f"May lowtide {spending.question}?", Consent)
        return "yes" if answer.action == "accept" and answer.data.confirm else "no"
    # The newer protocol asks by ending the call; the client calls again with the answer. The hold
    # that was agreed to comes back sealed: a dearer one is asked about anew.
    if _agreed_usd(context.request_state) < spending.hold_usd:
        return _question(spending)
    answered = (context.input_responses or {}).get("consent")
    if not isinstance(answered, ElicitResult) or answered.action != "accept":
        return "no"
    return "yes" if (answered.content or {}).get("confirm") is True else "no"


def _agreed_usd(state: str | None) -> Decimal:
    try:
        return Decimal(state or "")
    except InvalidOperation:
        return Decimal(-1)


def _question(spending: Spending) -> ToolResult:
    form = ElicitRequestFormParams(
        message=f"May lowtide {spending.question}?", requested_schema=Consent.model_json_schema()
    )
    return InputRequiredToolResult(
        InputRequiredResult(
            input_requests={"consent": ElicitRequest(params=form)},
            request_state=str(spending.hold_usd),
        )
    )


def _result(answer: Answer) -> ToolResult:
    return ToolResult(
        content=answer.text,
        structured_content=dict(answer.document),
        # The output schema describes a tool's own document; refusals and errors have another.
        is_error=answer.outcome != "done",
    )
