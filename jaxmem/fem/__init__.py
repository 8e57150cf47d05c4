"""Finite elements: a mesh, weak forms on quadrature points, boundary conditions, assembly into bands. Nothing here knows membranes."""

from .boundary import Dirichlet as Dirichlet
from .boundary import Gradient as Gradient
from .boundary import Permeable as Permeable
from .boundary import Robin as Robin
from .boundary import TotalFlux as TotalFlux
from .mesh import LineMesh as LineMesh
from .mesh import geometric as geometric
from .mesh import line as line
from .mesh import shishkin as shishkin
from .mesh import uniform as uniform
