"""Finite elements: meshes, spaces, weak forms as functions of quadrature points, conditions on every boundary, solvers.

    mesh = fem.rectangle(x, y)                      which cells, and the names of their sides
    space = fem.Space(mesh, degree=2)               which unknowns
    form = fem.AdvectionDiffusion((1.0, 0.5), 0.05) what is integrated: any function of fem.Points
    problem = fem.Problem(space, form, {"left": fem.Dirichlet(1.0), ...})
    u = problem.solve(linear=True)                  one Newton step, one direct solve, exact gradients

Nothing here knows membranes.
"""

from .assembly import matrix as matrix
from .boundary import Dirichlet as Dirichlet
from .boundary import Gradient as Gradient
from .boundary import Integrand as Integrand
from .boundary import Natural as Natural
from .boundary import Permeable as Permeable
from .boundary import Robin as Robin
from .boundary import TotalFlux as TotalFlux
from .direct import Direct as Direct
from .direct import direct as direct
from .forms import AdvectionDiffusion as AdvectionDiffusion
from .grading import geometric as geometric
from .grading import shishkin as shishkin
from .grading import uniform as uniform
from .iterative import Iterative as Iterative
from .iterative import iterative as iterative
from .mesh import Mesh as Mesh
from .mesh import Topology as Topology
from .mesh import line as line
from .mesh import line_through as line_through
from .mesh import rectangle as rectangle
from .mesh import unstructured as unstructured
from .problem import Problem as Problem
from .read import read_mesh as read_mesh
from .space import Points as Points
from .space import Space as Space
from .time import evolve as evolve
from .time import theta_step as theta_step
