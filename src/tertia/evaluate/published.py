"""What has been published on the test sets of the tasks."""

from __future__ import annotations

from collections.abc import Sequence

PUBLISHED: dict[tuple[str, str], Sequence[tuple[str, dict[str, float]]]] = {
    ("quality", "test"): (
        ("Guo et al. 2022, GraphQA alone (CASP13)", {"gdt_ts R": 0.793, "gdt_ts RMSE": 0.201, "gdt_ts R_target": 0.751,
         "gdt_ts z": 1.026, "gdt_ts FRL_5": 0.045, "local lddt rho": 0.774, "local lddt rho_decoy": 0.510,
         "local cad rho": 0.637, "local cad rho_decoy": 0.390}),
        ("Guo et al. 2022, + sequence (CASP13)", {"gdt_ts R": 0.799, "gdt_ts RMSE": 0.158, "gdt_ts R_target": 0.772,
         "gdt_ts z": 1.101, "gdt_ts FRL_5": 0.037, "local lddt rho": 0.754, "local lddt rho_decoy": 0.502,
         "local cad rho": 0.624, "local cad rho_decoy": 0.387}),
        ("Guo et al. 2022, + structure (CASP13)", {"gdt_ts R": 0.848, "gdt_ts RMSE": 0.133, "gdt_ts R_target": 0.787,
         "gdt_ts z": 1.345, "gdt_ts FRL_5": 0.031, "local lddt rho": 0.800, "local lddt rho_decoy": 0.534,
         "local cad rho": 0.667, "local cad rho_decoy": 0.424}),
        ("GraphQA (Baldassarre et al. 2021, CASP13)", {"gdt_ts R": 0.855, "gdt_ts RMSE": 0.130,
         "gdt_ts R_target": 0.779, "gdt_ts z": 1.274, "gdt_ts FRL": 0.081, "gdt_ts FRL_5": 0.030,
         "local lddt rho": 0.797, "local lddt rho_decoy": 0.527}),
    ),
    ("interface", "test_70"): (
        ("Guo et al. 2022, DeepPPISP alone", {"oracle ACC": 0.589, "oracle P": 0.270, "oracle R": 0.623,
         "oracle F": 0.377, "oracle MCC": 0.163}),
        ("Guo et al. 2022, + sequence", {"oracle ACC": 0.592, "oracle P": 0.274, "oracle R": 0.635,
         "oracle F": 0.382, "oracle MCC": 0.174}),
        ("Guo et al. 2022, + structure", {"oracle ACC": 0.621, "oracle P": 0.285, "oracle R": 0.601,
         "oracle F": 0.386, "oracle MCC": 0.185}),
        ("DeepPPISP (Zeng et al. 2020)", {"AUROC": 0.671, "AUPRC": 0.320, "oracle ACC": 0.655, "oracle P": 0.303,
         "oracle R": 0.577, "oracle F": 0.397, "oracle MCC": 0.206}),
    ),
    ("interface", "Test_60"): (
        ("GraphPPIS (Yuan et al. 2022)", {"AUROC": 0.786, "AUPRC": 0.429, "oracle F": 0.451, "oracle MCC": 0.333}),
        ("AGAT-PPIS (Zhou et al. 2023)", {"AUROC": 0.867, "AUPRC": 0.574, "oracle F": 0.569, "oracle MCC": 0.484}),
    ),
    ("interface", "Test_315"): (
        ("GraphPPIS (Yuan et al. 2022)", {"AUPRC": 0.423, "oracle MCC": 0.336}),
    ),
    ("pair_binding", "test"): (
        ("TUnA, ESM-2 (Ko et al. 2024)", {"ACC": 0.648, "AUROC": 0.703, "AP": 0.692, "MCC": 0.295}),
        ("ESM-2 + MLP (Ko et al. 2024)", {"ACC": 0.639, "AUROC": 0.696, "AP": 0.680}),
    ),
    ("pair_binding", "dscript_yeast"): (
        ("PIPR, trained on D-SCRIPT's human pairs", {"AP": 0.230}),
        ("D-SCRIPT (Sledzieski et al. 2021)", {"AP": 0.405}),
        ("TUnA, trained on D-SCRIPT's human pairs", {"AP": 0.641}),
    ),
    ("tcr_epitope", "test_tcr"): (
        ("TITAN (Weber et al. 2021), mean of ten folds", {"AUROC": 0.87}),
        ("nearest neighbours (Weber et al. 2021), their independent test", {"AUROC": 0.79}),
    ),
    ("tcr_epitope", "test_strict"): (
        ("ImRex (Weber et al. 2021), their independent test", {"AUROC": 0.50}),
        ("nearest neighbours (Weber et al. 2021), their independent test", {"AUROC": 0.37}),
        ("best of TITAN (Weber et al. 2021), their independent test", {"AUROC": 0.78}),
    ),
    ("localisation", "test"): (
        ("DeepLoc (Almagro Armenteros et al. 2017)", {"ACC": 0.780}),
        ("binding pairs, String2Seq (Filipavicius et al. 2020)", {"ACC": 0.793}),
        ("single sequences, String1Seq (Filipavicius et al. 2020)", {"ACC": 0.780}),
        ("ProtBert, mean of residues (Elnaggar et al. 2021)", {"ACC": 0.74}),
        ("ProtT5, mean of residues (Elnaggar et al. 2021)", {"ACC": 0.81}),
        ("ProtT5, light attention (Staerk et al. 2021)", {"ACC": 0.860}),
    ),
    ("localisation", "setHARD"): (
        ("ProtBert-BFD, light attention (Staerk et al. 2021)", {"ACC": 0.58}),
        ("ProtT5, light attention (Staerk et al. 2021)", {"ACC": 0.65}),
    ),
    ("localisation", "test_membrane"): (
        ("ProtBert, mean of residues (Elnaggar et al. 2021)", {"ACC": 0.89}),
        ("ProtT5, mean of residues (Elnaggar et al. 2021)", {"ACC": 0.91}),
    ),
    ("homology", "test_fold"): (
        ("one-hot (Rao et al. 2019)", {"ACC": 0.09}),
        ("Transformer (Rao et al. 2019)", {"ACC": 0.21}),
        ("LSTM (Rao et al. 2019)", {"ACC": 0.26}),
        ("binding pairs, String2Seq (Filipavicius et al. 2020), another test", {"ACC": 0.256}),
    ),
    ("secondary_structure", "CB513"): (
        ("one-hot (Rao et al. 2019)", {"Q3": 0.69}),
        ("Transformer (Rao et al. 2019)", {"Q3": 0.73}),
        ("LSTM (Rao et al. 2019)", {"Q3": 0.75}),
        ("ProtBert (Elnaggar et al. 2021)", {"Q3": 0.81}),
        ("ProtT5 (Elnaggar et al. 2021)", {"Q3": 0.86}),
    ),
}  # fmt: skip
"""Figures as printed; those of quality are of other models (CASP13), so only their differences compare."""
