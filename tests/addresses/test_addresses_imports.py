import subprocess
import sys

MODULES = ("association", "azure", "blocks", "free", "layout", "problems", "subnet_map")


def test_the_package_pulls_in_no_third_party_package() -> None:
    program = (
        "import sys; before = set(sys.modules);"
        f"import {', '.join(f'headroom.addresses.{module}' for module in MODULES)};"
        "found = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(found - set(sys.stdlib_module_names) - {'headroom'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    assert done.stdout.strip() == "[]"
