"""The arrows of the house: door -> programs -> rooms -> vocabulary, and no others."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
DATA_SETS = sorted(path.parent.name for path in ROOT.glob('*/data_set.py'))
DOORS = [
    path
    for name in DATA_SETS
    for path in sorted((ROOT / name).glob('*.py'))
    if '__main__' in path.read_text(encoding='utf-8') and path.name != 'model.py'
]
RELEASED = {'A', 'B', 'A_prime', 'A_best', 'A_nat'}

# From the ground up: a file imports only from its own room and from those before it.
FLOORS = (
    ('errors', 'quiet_tensorflow', 'startup', 'statistics', 'randomness'),
    ('arguments', 'distribution', 'event_files', 'files', 'losses', 'threat_model'),
    ('data',),
    ('networks',),
    ('attacks',),
    ('evaluation', 'transfer'),
    ('submission',),
    ('training',),
    ('report',),
    ('programs',),
)


def sources(package):
    return sorted((ROOT / package).rglob('*.py'))


def relative(path):
    return path.relative_to(ROOT).as_posix()


def imports(path):
    """Full names of the modules that a file imports, and of what it takes from them."""
    names = set()
    statements = ast.parse(path.read_text(encoding='utf-8')).body
    if path.name == 'model.py':  # run as a program, it is a door too
        statements = [node for node in statements if not isinstance(node, ast.If)]
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{relative(path)}:{node.lineno}: a relative import'
            names.update(f'{node.module}.{alias.name}' for alias in node.names)
    return names


def crossings(package, forbidden):
    """'file imports module' for every import from `package` into one of `forbidden`."""
    return [
        f'{relative(path)} imports {name}'
        for path in sources(package)
        for name in sorted(imports(path))
        if under(name, forbidden)
    ]


def under(name, packages):
    return any(name == package or name.startswith(f'{package}.') for package in packages)


def docstrings(tree):
    """The string constants that are documentation: statements that are only a string."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def test_the_packages_are_there():
    assert sources('common') and DATA_SETS


def test_common_imports_no_data_set():
    assert crossings('common', DATA_SETS) == []


@pytest.mark.parametrize('data_set', DATA_SETS)
def test_data_sets_do_not_know_each_other(data_set):
    assert crossings(data_set, {*DATA_SETS} - {data_set}) == []


def test_nothing_but_tests_imports_tests():
    assert [c for package in ('common', *DATA_SETS) for c in crossings(package, ['tests'])] == []


@pytest.mark.parametrize('data_set', DATA_SETS)
def test_models_know_no_attack(data_set):
    """Neither directly nor through another module of the project."""
    reached, waiting = {}, [f'{data_set}.model']
    while waiting:
        module = waiting.pop()
        path = ROOT / (module.replace('.', '/') + '.py')
        if module in reached or not path.is_file():
            continue
        reached[module] = imports(path)
        for name in reached[module]:
            if under(name, ['common', data_set]):
                waiting += [name, name.rpartition('.')[0]]
    assert f'{data_set}.dataset' in reached  # the walk went somewhere
    forbidden = ['common.attacks', 'common.attacks.by_name', f'{data_set}.pgd_attack']
    assert [
        f'{module} imports {name}'
        for module, names in reached.items()
        for name in names
        if under(name, forbidden)
    ] == []


def floor(module):
    """Number of the floor of `common.<room>...`."""
    room = module.split('.')[1]
    (number,) = [n for n, rooms in enumerate(FLOORS) if room in rooms]
    return number


def module_of(path):
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


def test_no_arrow_leads_upwards():
    upwards = []
    for path in sources('common'):
        module = module_of(path)
        is_door = "if __name__ == '__main__':" in path.read_text(encoding='utf-8')
        if module == 'common' or is_door:  # the face, and the doors
            continue
        upwards += [
            f'{relative(path)} imports {name}'
            for name in sorted(imports(path))
            if name.startswith('common.') and floor(name) > floor(module)
        ]
    assert upwards == []


def test_no_circles():
    """Between files, which includes indirect imports."""
    files = {module_of(p): p for name in ('common', *DATA_SETS) for p in sources(name)}
    needs = {
        module: {
            n
            for name in imports(path)
            for n in (name, name.rpartition('.')[0])
            if n in files and n != module and files[n].name != '__init__.py'
        }
        for module, path in files.items()
    }
    while ready := {module for module, needed in needs.items() if not needed}:
        needs = {m: needed - ready for m, needed in needs.items() if m not in ready}
    assert needs == {}


def test_flags_are_read_by_programs_only():
    readers = {
        relative(path)
        for package in ('common', *DATA_SETS)
        for path in sources(package)
        if any(under(name, ['absl']) for name in imports(path))
    }
    assert {reader for reader in readers if not reader.startswith('common/programs/')} == set()


def test_common_compares_no_released_network_by_name():
    found = []
    for path in sources('common'):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        documentation = docstrings(tree)
        units = {
            id(k.value) for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == 'unit'
        }
        found += [
            f'{relative(path)}:{node.lineno}: {node.value!r}'
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and node.value in RELEASED
            and id(node) not in documentation | units  # bytes are no network
        ]
    assert found == []


def test_the_ball_alone_takes_signs_of_gradients():
    """FAB and Square, which are attacks of the l-inf ball by their own construction, as well."""
    users = {
        path.name
        for path in sources('common')
        if re.search(r'tf\.(math\.)?sign\(', path.read_text(encoding='utf-8'))
    }
    assert users <= {'threat_model.py', 'fab.py', 'square.py'}


def test_flags_are_defined_when_a_program_starts_not_when_it_is_imported():
    found = []
    for path in [p for package in ('common', *DATA_SETS) for p in sources(package)]:
        tree = ast.parse(path.read_text(encoding='utf-8'))
        inside = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
        }
        found += [
            f'{relative(path)}:{node.lineno}'
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr.startswith('DEFINE_')
            and id(node) not in inside
        ]
    assert found == []


def test_common_names_no_data_set():
    """Whatever differs between data sets is a value; only documentation mentions data sets."""
    found = []
    for path in sources('common'):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        documentation = docstrings(tree)
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in documentation
                and re.search('mnist|cifar', node.value, re.IGNORECASE)
            ):
                found.append(f'{relative(path)}:{node.lineno}: {node.value!r}')
            if isinstance(node, ast.Name | ast.arg):
                name = node.id if isinstance(node, ast.Name) else node.arg
                if re.search('mnist|cifar', name, re.IGNORECASE):
                    found.append(f'{relative(path)}:{node.lineno}: {name}')
    assert found == []


def test_plots_are_the_only_users_of_matplotlib():
    users = {
        relative(path)
        for package in ('common', *DATA_SETS)
        for path in sources(package)
        if any(under(name, ['matplotlib']) for name in imports(path))
    }
    assert users <= {'common/report/plots.py'}


def test_no_paths_of_one_machine():
    found = [
        f'{relative(path)}:{number}'
        for package in ('common', *DATA_SETS)
        for path in sources(package)
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1)
        if re.search(r'(^|[^\w.])/(work|root|home)/', line)
    ]
    assert found == []


@pytest.mark.parametrize('path', DOORS, ids=relative)
def test_doors_are_short_and_open_the_same_way(path):
    """A docstring for --help, imports, the door; importing it runs nothing."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    assert ast.get_docstring(tree)
    assert ast.unparse(tree.body[-1]) == "if __name__ == '__main__':\n    main()"
    assert ast.unparse(tree.body[-2]).startswith('main = cli.Door(')
    if path.name != 'pgd_attack.py':  # which has the attack for Python as well
        kinds = {type(node) for node in tree.body[1:-2]}
        assert kinds <= {ast.Import, ast.ImportFrom}


def test_tests_have_no_init_files():
    """With them, `tests/mnist` would shadow the package `mnist`."""
    assert list((ROOT / 'tests').rglob('__init__.py')) == []
