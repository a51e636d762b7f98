from tools.printing import print_rows


def test_a_table_has_names_on_the_left_and_figures_on_the_right(capsys):
    print_rows("Costs", ("part", "cpu_ms"), [("all", 12.5), (), ("one", 3)], caption="idle")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "Costs"
    assert lines[-1].strip() == "idle"
    assert [line.strip("┃│ ") for line in lines if "┃" in line] == ["part ┃ cpu ms"]
    assert [line.split("│")[1:3] for line in lines if "│" in line] == [
        [" all  ", "   12.5 "],
        [" one  ", "      3 "],
    ]


def test_a_long_row_is_not_broken_where_nobody_watches(capsys):
    print_rows("Names", [f"column {n}" for n in range(12)], [["x" * 9] * 12])
    assert "x" * 9 in capsys.readouterr().out
    assert capsys.readouterr().err == ""
