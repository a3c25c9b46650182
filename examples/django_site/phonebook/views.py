from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from phonebook.models import Person


@login_required
def people(request: HttpRequest) -> HttpResponse:
    return render(request, "phonebook/people.html", {"people": Person.objects.all()})
