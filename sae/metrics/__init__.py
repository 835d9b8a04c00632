"""How good is a dictionary? One file a family of measures; each gives columns that pandas turns into a tidy frame.

quality : FVU, cosine, L0, dead and dense share
concepts : selectivity of every latent, and of the best one per concept
coverage : best F1 per concept, state reconstruction
probing : sparse probing, probes on reconstructions
absorption : main latents of a concept, and which others stand in for them
distinctness : participation ratio, redundancy
stability : matching over seeds, MMCS
covariates : variance explained by batch, donor, depth
inputs : what all of them take and give
"""
