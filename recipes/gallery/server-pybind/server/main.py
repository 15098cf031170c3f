import quantise
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def health(request):
    return JSONResponse({"status": "ok", "probe": quantise.pack([1.0, -1.0])})


async def pack(request):
    numbers = [float(word) for word in request.query_params["x"].split(",")]
    return JSONResponse({"result": quantise.pack(numbers)})


app = Starlette(routes=[Route("/health", health), Route("/pack", pack)])
