"""jaxmem: how water, ions and current move through membranes, with exact gradients of everything to everything."""

from ._config import configure as _configure

_configure()

from . import constants as constants
from . import fem as fem
from . import units as units
from ._errors import ConvergenceError as ConvergenceError
from ._errors import DataFileError as DataFileError
from ._errors import ElectroneutralityError as ElectroneutralityError
from ._errors import IllPosedBoundaryError as IllPosedBoundaryError
from ._errors import JaxmemError as JaxmemError
from ._errors import PhysicalRangeError as PhysicalRangeError
from ._errors import PrecisionError as PrecisionError
from ._errors import ShapeError as ShapeError
from ._errors import UnknownNameError as UnknownNameError
from ._status import STATUS as STATUS
from .case import Case as Case
from .chemistry.activity import Davies as Davies
from .chemistry.brine import NaClBrine as NaClBrine
from .chemistry.brine import SeaSaltBrine as SeaSaltBrine
from .chemistry.diffusion import ExponentialDiffusivity as ExponentialDiffusivity
from .chemistry.diffusion import FirstOrderDiffusivity as FirstOrderDiffusivity
from .chemistry.mixture import Mixture as Mixture
from .chemistry.mixture import feed as feed
from .chemistry.species import Species as Species
from .chemistry.species import species as species
from .conditions import FeedPressure as FeedPressure
from .conditions import FluxDriven as FluxDriven
from .conditions import Layer as Layer
from .conditions import MassTransfer as MassTransfer
from .conditions import MeanFlux as MeanFlux
from .conditions import PressedLayer as PressedLayer
from .conditions import PressureDriven as PressureDriven
from .conditions import Pump as Pump
from .conditions import Recovery as Recovery
from .conditions import SlitFlux as SlitFlux
from .conditions import SlitPressure as SlitPressure
from .conditions import film as film
from .data.rejection import Dataset as Dataset
from .data.rejection import dataset as dataset
from .design.sensitivity import Sensitivity as Sensitivity
from .design.sensitivity import sensitivity as sensitivity
from .fit.sheet import Sheet as Sheet
from .fit.sheet import fit_sheet as fit_sheet
from .membranes.charge import ConstantCharge as ConstantCharge
from .membranes.charge import FreundlichCharge as FreundlichCharge
from .membranes.confinement import ConfinedViscosity as ConfinedViscosity
from .membranes.confinement import OrientedLayer as OrientedLayer
from .membranes.element import SpiralElement as SpiralElement
from .membranes.element import Vessel as Vessel
from .membranes.element import element as element
from .membranes.exclusion import BornExclusion as BornExclusion
from .membranes.exclusion import StericExclusion as StericExclusion
from .membranes.hindrance import Bowen as Bowen
from .membranes.hindrance import DechadilokDeen as DechadilokDeen
from .membranes.layered import LayeredMembrane as LayeredMembrane
from .membranes.permeance import PermeanceMembrane as PermeanceMembrane
from .membranes.permeance import SpieglerKedemMembrane as SpieglerKedemMembrane
from .membranes.pore import PoreMembrane as PoreMembrane
from .membranes.pore import membrane as membrane
from .membranes.solution_diffusion import SolutionDiffusionMembrane as SolutionDiffusionMembrane
from .models.base import AbstractModel as AbstractModel
from .models.channel.adm_sdm import ADMSDM as ADMSDM
from .models.channel.advection_diffusion import ADM as ADM
from .models.channel.slit import SlitRO as SlitRO
from .models.dspmde.model import DSPMDE as DSPMDE
from .models.element.model import SpiralWound as SpiralWound
from .models.result import citations as citations
from .models.sdem import SDEM as SDEM
from .models.solution_diffusion import SolutionDiffusion as SolutionDiffusion
from .models.solve import solve as solve
from .models.spiegler_kedem import SpieglerKedem as SpieglerKedem

__version__ = "0.1.0"
