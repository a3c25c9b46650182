from __future__ import annotations

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from gate import gateway, pid

from asgi_llmgate import mount


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(pid())


urlpatterns = [path("pid", page)]

settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
app = mount(get_asgi_application(), "/llm", gateway())
