from __future__ import annotations

from django.contrib import admin
from django.urls import path
from phonebook.views import people

urlpatterns = [
    path("", people, name="people"),
    path("admin/", admin.site.urls),
]
