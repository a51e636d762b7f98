"""How connections end that the server cuts off."""

import asyncio
from types import SimpleNamespace

import pytest

from streamer.web.access import Access
from streamer.web.app import _endpoint


@pytest.mark.parametrize("closing", [True, False])
async def test_to_be_cut_off_is_no_error_at_the_end_of_the_server_alone(closing):
    begun = asyncio.Event()

    async def send_to_who_reads_nothing(*_):
        begun.set()
        await asyncio.Event().wait()

    services = SimpleNamespace(access=Access(None, ()), hub=SimpleNamespace(closing=closing))
    route = _endpoint("/", send_to_who_reads_nothing, services)
    serving = asyncio.create_task(route.endpoint(SimpleNamespace(headers={"host": "localhost"})))
    await begun.wait()
    serving.cancel()
    (result,) = await asyncio.gather(serving, return_exceptions=True)
    assert result is None if closing else isinstance(result, asyncio.CancelledError)
