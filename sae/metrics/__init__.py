"""How good is a dictionary? One file a family of measures; each gives a tidy DataFrame, a row per thing measured.

quality : FVU, cosine, L0, dead and dense share; a dict, since training asks for it and does without pandas
firing : how often each latent fires, dead and dense ones
concepts : selectivity of every latent, and of the best one per concept
coverage : best F1 per concept, state reconstruction
probing : sparse probing, probes on reconstructions
absorption : main latents of a concept, and which others stand in for them
distinctness : participation ratio, redundancy
stability : matching over seeds, MMCS
covariates : variance explained by batch, donor, depth
inputs : what all of them take and give
"""
