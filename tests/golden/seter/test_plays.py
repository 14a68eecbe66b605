"""Plays and inventory, exactly as Ansible gets them."""

from __future__ import annotations

from seter.plays import cluster_play, inventory, render_play, service_play


def test_the_inventory_holds_every_node_with_its_variables_and_runs_here() -> None:
    assert inventory({"gw1": {"access": "container"}}) == {
        "all": {
            "hosts": {"gw1": {"access": "container"}},
            "vars": {
                "ansible_connection": "local",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            },
        }
    }


def test_rendering_is_one_play_in_which_no_node_waits_for_another() -> None:
    assert render_play(["gw1", "gw2"]) == {
        "name": "Render",
        "hosts": "gw1,gw2",
        "gather_facts": False,
        "strategy": "mitogen_host_pinned",
        "vars": {},
        "tasks": [
            {
                "name": "Configure roles",
                "ansible.builtin.include_role": {"name": "{{ seter_role }}", "tasks_from": "configure"},
                "loop": "{{ roots | list }}",
                "loop_control": {"loop_var": "seter_role"},
                "vars": {"root": "{{ roots[seter_role] }}"},
            }
        ],
    }


def test_a_process_is_started_on_the_nodes_that_need_it_and_nowhere_else() -> None:
    play = {
        "name": "Start bird-gateway",
        "hosts": "gw1,gw3",
        "gather_facts": False,
        "any_errors_fatal": True,
        "vars": {"process": "{{ processes['bird-gateway'] }}", "root": "/etc/seter/now"},
        "tasks": [
            {
                "name": "Service bird-gateway",
                "ansible.builtin.include_role": {"name": "bird-gateway", "tasks_from": "service"},
            }
        ],
    }
    assert service_play("bird-gateway", ["gw1", "gw3"], here=False) == play
    assert service_play("bird-gateway", ["gw1", "gw3"], here=True) == {**play, "strategy": "mitogen_linear"}


def test_a_cluster_step_runs_where_the_role_s_process_runs() -> None:
    inside = {
        "ansible_connection": "community.docker.docker",
        "ansible_host": "s3-lb.container.main.gw1.etcd",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    assert cluster_play("etcd", "gw1", inside) == {
        "name": "Set up the cluster of etcd",
        "hosts": "gw1",
        "gather_facts": False,
        "any_errors_fatal": True,
        "vars": {**inside, "root": "/etc/seter/now"},
        "tasks": [
            {
                "name": "Cluster etcd",
                "ansible.builtin.include_role": {"name": "etcd", "tasks_from": "cluster"},
            }
        ],
    }
