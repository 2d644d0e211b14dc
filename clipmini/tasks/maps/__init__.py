"""Maps of the space: pictures and texts as points of a plane, what is alike near each other.

    projection.py   vectors -> places: PCA, UMAP, where a new point goes, the modality gap, films of a training
    folder.py       an EmbeddingMap: places, names, thumbnails and vectors, as a folder that an app opens at once
"""
