"""A refresh every six hours under Airflow 3; this file goes into its dags folder.

graphrecall has its own environment: Airflow's pins and torch's do not have to agree. AIRFLOW_VAR_GRAPHRECALL_BIN and
AIRFLOW_VAR_GRAPHRECALL_CONFIG, or the variables in Airflow's own store, say where the two are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

NOTHING_CHANGED, ANOTHER_AT_WORK = 3, 75

with DAG(
    dag_id="graphrecall_refresh",
    description="Refresh the recommendations of movies",
    schedule=timedelta(hours=6),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["graphrecall"],
) as dag:
    refresh = BashOperator(
        task_id="refresh",
        bash_command=(
            "{{ var.value.get('graphrecall_bin', '/opt/graphrecall/bin') }}/graphrecall refresh "
            "{{ var.value.get('graphrecall_config', '/srv/movies/config.toml') }} --log --exit-code"
        ),
        # What hangs behind it is skipped, too: there is nothing new to ship.
        skip_on_exit_code=[NOTHING_CHANGED, ANOTHER_AT_WORK],
        # A run that the gate refused is refused again at once; a refresh that was killed goes on.
        retries=2,
        retry_delay=timedelta(minutes=10),
        append_env=True,
    )
