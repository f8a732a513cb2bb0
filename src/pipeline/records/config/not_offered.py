"""Public classes of distilabel and FastDistill that stillroom recognises and does not offer.

A name that stillroom offers by now is found before this list is asked.
"""

from __future__ import annotations

from typing import Final

NOT_OFFERED: Final[dict[str, frozenset[str]]] = {
    "llm": frozenset({
        "AnyscaleLLM", "AzureOpenAILLM", "CohereLLM", "GroqLLM", "InferenceEndpointsLLM", "LiteLLM",
        "MistralLLM", "MixtureOfAgentsLLM", "MlxLLM", "TogetherLLM", "VertexAILLM",
    }),
    "embeddings": frozenset({
        "Embeddings", "LlamaCppEmbeddings", "SGLangEmbeddings", "SentenceTransformerEmbeddings",
        "vLLMEmbeddings",
    }),
    "image_generation": frozenset({
        "AsyncImageGenerationModel", "ImageGenerationModel", "InferenceEndpointsImageGeneration",
        "OpenAIImageGeneration",
    }),
    "step": frozenset({
        "CombineColumns", "CombineOutputs", "ConversationTemplate", "DBSCAN", "DataSampler",
        "DeitaFiltering", "EmbeddingDedup", "EmbeddingGeneration", "ExpandColumns",
        "FaissNearestNeighbour", "FormatChatGenerationDPO", "FormatChatGenerationSFT", "FormatPRM",
        "FormatTextGenerationDPO", "FormatTextGenerationSFT", "GroupColumns", "LoadDataFromDisk",
        "MergeColumns", "MinHashDedup", "PreferenceToArgilla", "PushToHub", "RewardModelScore",
        "TextClustering", "TextGenerationToArgilla", "TruncateTextColumn", "UMAP",
    }),
    "task": frozenset({
        "APIGenExecutionChecker", "APIGenGenerator", "APIGenSemanticChecker", "APIGenTransform",
        "ArgillaLabeller", "BitextRetrievalGenerator", "CLAIR", "ChatGeneration",
        "ComplexityScorer", "EmbeddingTaskGenerator", "EvolComplexity", "EvolComplexityGenerator",
        "EvolInstruct", "EvolInstructGenerator", "EvolQuality", "GenerateEmbeddings",
        "GenerateLongTextMatchingData", "GenerateSentencePair", "GenerateShortTextMatchingData",
        "GenerateTextClassificationData", "GenerateTextRetrievalData", "Genstruct",
        "ImageGeneration", "InstructionBacktranslation", "Magpie", "MagpieGenerator",
        "MathShepherdCompleter", "MathShepherdGenerator", "MonolingualTripletGenerator", "PairRM",
        "PrometheusEval", "QualityScorer", "SelfInstruct", "StructuredGeneration",
        "TextClassification", "TextGenerationWithImage", "URIAL", "UltraFeedback",
    }),
}  # fmt: skip
"""Kind of component -> names of classes."""

OTHER_NAMES: Final = {"ClientSGLang": "SGLangLLM", "ClientvLLM": "vLLM", "SGLang": "SGLangLLM"}
"""Names that these libraries use for what has another name here."""
