"""Codes that plugins need most: findings, sites, measurements, likelihoods and units, by name.

    from plugins import codes

    Finding(codes.NODULE, present=True, score=0.91, site=Site(codes.LUNG, codes.RIGHT),
            measurements=(Measurement(codes.LONG_AXIS, 8.2, codes.MILLIMETER),))

Values and meanings are those of the Standard's own code dictionary (PS3.16, as pydicom has it); the few of SNOMED CT
that the Standard does not list are in `OUTSIDE_OF_THE_STANDARD`. Where neither has a code, such as for bone age,
declare one of your own under your own designator (`99…`) in plugin.toml: a code that nearly fits says something else.

A finding and its site are two codes: a lung nodule is `NODULE` at `LUNG`. Codes that a result names are also listed in
`[[concepts]]` of plugin.toml, with the same meaning.
"""

from __future__ import annotations

from plugins.coding import BOTH, LEFT, NO_UNITS, RIGHT, Code, Site, Unit

__all__ = ["BOTH", "LEFT", "NO_UNITS", "RIGHT", "Code", "Site", "Unit"]


def _sct(value: str, meaning: str) -> Code:
    return Code(value, "SCT", meaning)


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


# --- findings: of any organ ------------------------------------------------------------------------

LESION = _sct("52988006", "Lesion")
MASS = _sct("4147007", "Mass")
NODULE = _sct("27925004", "Nodule")
NEOPLASM = _sct("108369006", "Neoplasm")
CYST = _sct("367643001", "Cyst")
ABSCESS = _sct("44132006", "Abscess")
HEMATOMA = _sct("35566002", "Hematoma")
HEMORRHAGE = _sct("50960005", "Hemorrhage")
EDEMA = _sct("79654002", "Edema")
ATROPHY = _sct("13331008", "Atrophy")
ANEURYSM = _sct("85659009", "aneurysm")
FRACTURE = _sct("125605004", "Fracture of bone")

# --- findings: chest -------------------------------------------------------------------------------

PNEUMOTHORAX = _sct("36118008", "Pneumothorax")
PLEURAL_EFFUSION = _sct("60046008", "Pleural effusion")
PERICARDIAL_EFFUSION = _sct("373945007", "Pericardial effusion")
CARDIOMEGALY = _sct("287272002", "Cardiomegaly")
PULMONARY_EDEMA = _sct("19242006", "Pulmonary edema")
CONSOLIDATION = _sct("95436008", "Lung consolidation")
ATELECTASIS = _sct("46621007", "Atelectasis")
PNEUMONIA = _sct("233604007", "Pneumonia")
EMPHYSEMA = _sct("87433001", "Pulmonary emphysema")
OPACITY = _dcm("112001", "Opacity")
GROUND_GLASS_OPACITY = _dcm("112120", "Ground glass opacity")
INFILTRATE = _dcm("112121", "Infiltrate")
MICRONODULE = _dcm("112122", "Micronodule")
HONEYCOMB_PATTERN = _dcm("112106", "Honeycomb pattern")

# --- findings: breast ------------------------------------------------------------------------------

BREAST_CALCIFICATION = _sct("309587003", "Calcification of breast")
CALCIFICATION_CLUSTER = _sct("129769006", "Calcification Cluster")
INDIVIDUAL_CALCIFICATION = _sct("129770007", "Individual Calcification")
ARCHITECTURAL_DISTORTION = _sct("129792006", "Architectural distortion of breast")
ASYMMETRY = _sct("129790003", "Asymmetric breast tissue")
FOCAL_ASYMMETRY = _sct("129789007", "Focal asymmetric breast tissue")

# --- findings: brain -------------------------------------------------------------------------------

INTRACRANIAL_HEMORRHAGE = _sct("1386000", "Intracranial hemorrhage")
SUBARACHNOID_HEMORRHAGE = _sct("21454007", "Subarachnoid hemorrhage")
STROKE = _sct("230690007", "Cerebrovascular Accident or Stroke")
WHITE_MATTER_HYPERINTENSITY = _dcm("110702", "White Matter T2 Hyperintensity")

# --- findings: teeth -------------------------------------------------------------------------------

DENTAL_CARIES = _sct("80967001", "Dental caries")

# --- sites -----------------------------------------------------------------------------------------

HEAD = _sct("69536005", "Head")
NECK = _sct("45048000", "Neck")
CHEST = _sct("816094009", "Chest")
PELVIS = _sct("816092008", "Pelvis")
LUNG = _sct("39607008", "Lung")
RIGHT_LUNG = _sct("3341006", "Right lung")
LEFT_LUNG = _sct("44029006", "Left lung")
LUNG_LOBE = _sct("31094006", "Lobe of lung")
UPPER_LOBE = _sct("45653009", "Upper lobe of lung")
MIDDLE_LOBE = _sct("72481006", "Middle lobe of right lung")
LOWER_LOBE = _sct("90572001", "Lower lobe of lung")
TRACHEA = _sct("44567001", "Trachea")
PLEURA = _sct("3120008", "Pleura")
HEART = _sct("80891009", "Heart")
AORTA = _sct("15825003", "Aorta")
CORONARY_ARTERY = _sct("41801008", "Coronary artery")
BREAST = _sct("76752008", "Breast")
AXILLARY_LYMPH_NODE = _sct("68171009", "Axillary lymph node")
LIVER = _sct("10200004", "Liver")
SPLEEN = _sct("78961009", "Spleen")
KIDNEY = _sct("64033007", "Kidney")
BRAIN = _sct("12738006", "Brain")
CEREBRAL_HEMISPHERE = _sct("372073000", "Cerebral hemisphere")
CEREBRAL_CORTEX = _sct("40146001", "Cerebral cortex")
CEREBRAL_WHITE_MATTER = _sct("68523003", "Cerebral White Matter")
BRAIN_VENTRICLE = _sct("35764002", "Brain ventricle")
CEREBROSPINAL_FLUID = _sct("65216001", "Cerebrospinal Fluid")
HIPPOCAMPUS = _sct("5366008", "Hippocampus")
THALAMUS = _sct("119406000", "Thalamus")
PUTAMEN = _sct("89278009", "Putamen")
CAUDATE_NUCLEUS = _sct("11000004", "Caudate Nucleus")
CEREBELLUM = _sct("113305005", "Cerebellum")
BRAIN_STEM = _sct("119238007", "Brain Stem")
SKULL = _sct("89546000", "Skull")
HAND = _sct("85562004", "Hand")
CARPUS = _sct("8205005", "Carpus")
METACARPUS = _sct("36455000", "Metacarpus")
RADIUS = _sct("62413002", "Radius")
ULNA = _sct("23416004", "Ulna")
JAW = _sct("661005", "Jaw region")
MAXILLA = _sct("70925003", "Maxilla")
MANDIBLE = _sct("91609006", "Mandible")

# --- categories of segments (CID 7150) -------------------------------------------------------------

ANATOMICAL_STRUCTURE = _sct("91723000", "Anatomical Structure")
TISSUE = _sct("85756007", "Tissue")
ABNORMAL_STRUCTURE = _sct("49755003", "Morphologically Abnormal Structure")

# --- measurements ----------------------------------------------------------------------------------

LENGTH = _sct("410668003", "Length")
DISTANCE = _dcm("121206", "Distance")
DIAMETER = _sct("81827009", "Diameter")
LONG_AXIS = _sct("103339001", "Long axis")
SHORT_AXIS = _sct("103340004", "Short axis")
PERPENDICULAR_AXIS = _sct("131189007", "Perpendicular Axis")
AREA = _sct("42798000", "Area")
VOLUME = _sct("118565006", "Volume")
ANGLE = _dcm("110859", "Angle")
ATTENUATION = _dcm("112031", "Attenuation Coefficient")
MEAN_ATTENUATION = _dcm("112181", "Mean Attenuation Coefficient")
CARDIOTHORACIC_AREA_RATIO = Code("59076-0", "LN", "Cardiothoracic Area Ratio")
CORONARY_CALCIUM_SCORE = _sct("450360000", "Coronary artery calcium score")
PERCENT_FIBROGLANDULAR_TISSUE = _dcm("111046", "Percent Fibroglandular Tissue")
BREAST_COMPOSITION = _sct("129715009", "Breast composition")
APPARENT_DIFFUSION_COEFFICIENT = _dcm("113041", "Apparent Diffusion Coefficient")
SUV_BODY_WEIGHT = _dcm("126401", "SUVbw")

# --- how a measurement was derived (CID 3627) ------------------------------------------------------

MEAN = _sct("373098007", "Mean")
MEDIAN = _sct("373099004", "Median")
MAXIMUM = _sct("56851009", "Maximum")
MINIMUM = _sct("255605001", "Minimum")
STANDARD_DEVIATION = _sct("386136009", "Standard Deviation")

# --- likelihoods, for `Score.concept` --------------------------------------------------------------

CERTAINTY_OF_FINDING = _dcm("111012", "Certainty of Finding")
PROBABILITY_OF_CANCER = _dcm("111047", "Probability of cancer")
PROBABILITY = _dcm("122157", "Probability")

# --- what a heat map shows (CID 7180) --------------------------------------------------------------

CLASS_ACTIVATION = _dcm("130402", "Class activation")
GRADIENT_WEIGHTED_CLASS_ACTIVATION = _dcm("130403", "Gradient-weighted class activation")
SALIENCY = _dcm("130404", "Saliency")

# --- units (UCUM) ----------------------------------------------------------------------------------

PERCENT = Unit("%")
MILLIMETER = Unit("mm")
CENTIMETER = Unit("cm")
SQUARE_MILLIMETER = Unit("mm2")
SQUARE_CENTIMETER = Unit("cm2")
CUBIC_MILLIMETER = Unit("mm3")
MILLILITER = Unit("mL")
LITER = Unit("L")
HOUNSFIELD = Unit("[hnsf'U]")
DEGREE = Unit("deg")
SECOND = Unit("s")
DAY = Unit("d")
MONTH = Unit("mo")
YEAR = Unit("a")
BECQUEREL_PER_MILLILITER = Unit("Bq/mL")
SUV_UNIT = Unit("g/ml{SUVbw}")
SQUARE_MICROMETER_PER_SECOND = Unit("um2/s")

OUTSIDE_OF_THE_STANDARD = (
    FRACTURE,  # "Fracture of bone": Medizininformatik-Initiative, map of MedDRA to SNOMED CT
    CONSOLIDATION,  # "Lung consolidation": HL7 Lithuania, Lung Cancer Implementation Guide, incidental findings
    ATELECTASIS,  # "Atelectasis": Medizininformatik-Initiative, map of MedDRA to SNOMED CT
    PNEUMONIA,  # "Pneumonia": HL7 Switzerland, CH EKM, manifestations
    EMPHYSEMA,  # "Pulmonary emphysema": HL7 Lithuania, Lung Cancer Implementation Guide, incidental findings
    SUBARACHNOID_HEMORRHAGE,  # "Subarachnoid intracranial hemorrhage": Medizininformatik-Initiative, stroke
    DENTAL_CARIES,  # "Dental caries": Medizininformatik-Initiative, map of MedDRA to SNOMED CT
    RIGHT_LUNG,  # "Right lung structure": HL7 CodeX, GenomeX examples of specimens
    LEFT_LUNG,  # "Left lung structure": HL7 CodeX, GenomeX examples of specimens
)
"""Concepts of SNOMED CT (international edition) that are in no context group of PS3.16: the Standard's dictionary does
not have them, so the meaning of each is held by what others have published with the same code, named beside it. Sites
that are in pairs have a laterality instead, as a rule."""
