from __future__ import annotations

from django.contrib import admin

from phonebook.models import Person

admin.site.register(Person)
