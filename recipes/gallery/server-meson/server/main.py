import attention
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def health(request):
    return JSONResponse({"status": "ok", "probe": attention.step(8, 0.0)})


async def step(request):
    return JSONResponse({"result": attention.step(request.path_params["head"], 0.1)})


app = Starlette(routes=[Route("/health", health), Route("/step/{head:int}", step)])
