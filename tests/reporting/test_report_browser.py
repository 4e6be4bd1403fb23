"""The report in a real browser, where one is installed: every chart draws, no script is stopped."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from page_reader import read_page
from sample_run import SAMPLES

from trainwright.reporting.report import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", SAMPLES)
def test_every_chart_draws(sample_runs: dict[str, Path], tmp_path: Path, name: str, language: str) -> None:
    report = write_report(sample_runs[name])
    assert BROWSER
    ran = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path}", "--enable-logging=stderr", "--window-size=1280,2000",
            "--virtual-time-budget=15000", "--dump-dom", f"{report.as_uri()}?lang={language}",
        ],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    complaints = [line for line in ran.stderr.splitlines() if ":CONSOLE" in line]
    assert not complaints
    assert f'data-drawn="{language}"' in ran.stdout
    figures = ran.stdout.count("<figure ")
    assert figures == len(re.findall(r'<svg [^>]*class="marks"', ran.stdout))
    assert f'<html lang="{"zh-Hans" if language == "zh" else "en"}"' in ran.stdout
    labels = {a["aria-label"] for _, a in read_page(ran.stdout).elements if "data-label-zh" in a}
    assert ("损失" in labels) == (language == "zh")
