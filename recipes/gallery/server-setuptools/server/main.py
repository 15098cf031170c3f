import kernels
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

KERNELS = ["softmax", "rmsnorm", "gelu", "rope", "matmul"]


async def health(request):
    return JSONResponse({"status": "ok"})


async def infer(request):
    kernel = request.path_params["kernel"]
    numbers = [float(word) for word in request.query_params["x"].split(",")]
    return JSONResponse({"result": getattr(kernels, kernel)(*numbers)} if kernel in KERNELS else {}, 200 if kernel in KERNELS else 404)


app = Starlette(routes=[Route("/health", health), Route("/infer/{kernel}", infer)])
