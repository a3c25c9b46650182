from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("llmgate", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="usagerecord",
            name="parent_request_id",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="of a call of the gateway's own: the request it is for",
                max_length=64,
            ),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="safeguards",
            field=models.JSONField(blank=True, help_text="the verdicts on tool calls, without their inputs", null=True),
        ),
    ]
