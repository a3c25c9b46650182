from __future__ import annotations

from django.db import models


class Person(models.Model):
    name = models.CharField(max_length=100)
    phone = models.CharField(max_length=20)
    team = models.CharField(max_length=50, blank=True)

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "people"

    def __str__(self) -> str:
        return self.name
