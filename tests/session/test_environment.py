"""The variables of a governed command."""

from ringfence.session.environment import inside


def test_tools_do_not_look_for_newer_versions_of_themselves_unless_the_person_says_so() -> None:
    plain = inside({}, keep=(), fixed=(), session="s", user="ada")
    chosen = inside({"npm_config_update_notifier": "true"}, keep=("npm_config_*",), fixed=(), session="s", user="ada")

    assert (plain["npm_config_update_notifier"], plain["PIP_DISABLE_PIP_VERSION_CHECK"]) == ("false", "1")
    assert chosen["npm_config_update_notifier"] == "true"


def test_what_nobody_named_stays_outside() -> None:
    variables = inside({"AWS_SECRET_ACCESS_KEY": "k", "TERM": "t"}, keep=("TERM",), fixed=(), session="s", user="ada")

    assert "AWS_SECRET_ACCESS_KEY" not in variables
    assert variables["TERM"] == "t"


def test_a_policy_removes_what_a_person_has_and_never_what_a_profile_sets() -> None:
    found = inside(
        {"PATH": "/bin", "HOME": "/home/u", "AWS_KEY": "x", "LANG": "C"},
        keep=("AWS_*", "LANG"),
        fixed=(("CODEX_HOME", "/h"),),
        session="s",
        user="u",
        remove=("AWS_*", "CODEX_HOME", "HTTP_PROXY", "RINGFENCE*"),
    )

    assert {"AWS_KEY"} & set(found) == set()
    assert {"LANG", "CODEX_HOME", "HTTP_PROXY", "RINGFENCE_SESSION"} <= set(found)
