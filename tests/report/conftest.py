import pytest

from presel.runs.run_record import RunRecord
from presel.stages.publish import publish
from presel.stages.report import build_report
from tests.report.synthetic import make


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """A second version of a small run over all ten tasks, with its report."""
    folder = tmp_path_factory.mktemp("reported")
    publish(make(folder, per_task=60))
    run = make(folder, per_task=60, dropped=2)
    return build_report(run.model_copy(update={"dataset": publish(run)}))
