"""What do others' protocols say of our latents? Each written from its published description, as an explainer here.

=================  ====================================================================================================
delphi             Paulo et al. 2024 [arXiv 2410.13928], section 3.1: 40 activating examples by quantile, one request
saebench           Karvonen et al. 2025 [arXiv 2503.09532], automated interpretability: the 10 strongest and 5 examples
                   drawn in proportion to their activation, one request
gptcelltype        Hou & Ji 2024, Nat Methods 21:1462: the top ten markers, the answer is a name
scfeaturelens      Schuster 2025, PMLR 311:81 [arXiv 2410.11468]: Welch tests of the strongest against silent cells,
                   enriched GO terms, the best term is the label; asks no model
=================  ====================================================================================================

They run as ``--explainer own:eval.peers.delphi:Delphi`` and so on, on the same latents, splits and items as ours. How
the first two judge is ``--judge-form binary`` (5 items a prompt, 0 or 1) and ``indices`` (14 items, the numbers of
those that fit). Where cells differ from text: an example is a cell's card with the latent's strength on it, since no
part of a cell is marked as active.
"""
